"""The command line as a whole: help, errors, exit statuses, and how little it loads."""

from __future__ import annotations

import subprocess
import sys

import click
import fastmatte as fm
import pytest
from click.testing import CliRunner
from fastmatte import cli
from fastmatte.cli import main, one_line, reason


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "fastmatte", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_every_verb_is_listed_with_a_sentence():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    commands = result.stdout.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in commands if not line.startswith("   ")] == list(cli.VERBS)
    assert sorted(cli.VERBS) == list(cli.VERBS)


@pytest.mark.parametrize("verb", ["", *cli.VERBS])
def test_every_help_has_an_example_that_parses(verb):
    result = CliRunner().invoke(main, [verb, "--help"] if verb else ["--help"])
    assert result.exit_code == 0
    assert "Example" in result.stdout
    examples = [
        line.split("fastmatte ", 1)[1].split(" > ")[0].split()
        for line in result.stdout.splitlines()
        if line.startswith("    ") and "fastmatte " in line
    ]
    assert examples
    group = click.Context(main, **main.context_settings)
    for name, *arguments in examples:
        command = main.get_command(group, name)
        command.make_context(name, [a.strip("'") for a in arguments], parent=group)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_option_says_what_it_does(verb):
    command = main.get_command(None, verb)
    assert command.name == verb
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_h_is_help():
    assert CliRunner().invoke(main, ["cut", "-h"]).stdout.startswith("Usage: main cut")


def test_version():
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"fastmatte {fm.__version__}\n")


def test_usage_errors_end_with_2():
    for arguments in (["snip"], ["cut"], ["cut", "--nonsense", "a.png"]):
        result = run(*arguments)
        assert result.returncode == 2
        assert result.stdout == ""
        assert result.stderr.startswith("Usage: fastmatte")


def test_asking_for_help_loads_no_codec_engine_or_table():
    code = (
        "import sys\n"
        "from fastmatte.cli import VERBS, main\n"
        "for arguments in ([], *([verb] for verb in VERBS)):\n"
        "    main([*arguments, '--help'], standalone_mode=False)\n"
        "print(sorted({'PIL', 'rich', 'onnxruntime', 'openvino'} & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def fail_with(error):
    @click.command()
    def verb():
        raise error

    group = cli.Verbs("fastmatte")
    group.get_command = lambda context, name: verb
    return CliRunner().invoke(group, ["verb"])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (fm.EngineError("no\n  engine"), "Error: no engine\n"),
        (ValueError("size: expected"), "Error: size: expected\n"),
        (FileNotFoundError(2, "No such file", "a\nb"), "Error: a b: No such file\n"),
        (OSError(28, "No space left on device"), "Error: No space left on device\n"),
        (OSError("odd"), "Error: odd\n"),
        (MemoryError(), "Error: not enough memory\n"),
        (ValueError(), "Error: ValueError\n"),
    ],
)
def test_what_is_no_bug_is_one_line_and_1(error, line):
    result = fail_with(error)
    assert (result.exit_code, result.stderr) == (1, line)


def test_a_bug_keeps_its_traceback():
    assert isinstance(fail_with(AssertionError("bug")).exception, AssertionError)


def test_ctrl_c_is_130_and_a_usage_error_2():
    assert fail_with(KeyboardInterrupt()).exit_code == 130
    assert fail_with(click.UsageError("no")).exit_code == 2


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_is_quiet(monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    process = subprocess.Popen(
        [sys.executable, "-m", "fastmatte", "info"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_reasons_and_lines():
    assert reason(OSError(13, "Permission denied", "x")) == "x: Permission denied"
    assert one_line("a\r\n\n  b\x07\u202e") == "a b\\x07\\u202e"
