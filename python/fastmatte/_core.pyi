from collections.abc import Sequence

from fastmatte.arrays import AnyAlpha, ForegroundMethod, Image

MAX_PIXELS: int
__version__: str

def available_isas() -> list[str]: ...
def active_isa() -> str: ...
def force_isa(name: str) -> None: ...
def default_threads() -> int: ...
def system_allocations() -> int: ...
def blur(
    image: Image,
    sigma: float,
    weight: AnyAlpha | None,
    out: Image | None,
    threads: int | None,
    /,
) -> Image: ...
def composite(
    foreground: Image,
    background: Image | Sequence[int],
    alpha: AnyAlpha,
    out: Image | None,
    threads: int | None,
    /,
) -> Image: ...
def cutout(
    foreground: Image, alpha: AnyAlpha, out: Image | None, threads: int | None, /
) -> Image: ...
def estimate_foreground(
    image: Image,
    alpha: AnyAlpha,
    method: ForegroundMethod,
    out: Image | None,
    threads: int | None,
    /,
) -> Image: ...
def premultiply(rgba: Image, out: Image | None, threads: int | None, /) -> Image: ...
def unpremultiply(rgba: Image, out: Image | None, threads: int | None, /) -> Image: ...
