from collections.abc import Sequence

from fastmatte.arrays import AnyAlpha, Filter, Image, Layout, PixelFormat, Pixels, Size, Tensor

MAX_PIXELS: int
__version__: str

def available_isas() -> list[str]: ...
def active_isa() -> str: ...
def force_isa(name: str) -> None: ...
def default_threads() -> int: ...
def system_allocations() -> int: ...
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
def from_tensor(
    tensor: Tensor, pixel_format: PixelFormat, out: Image | None, threads: int | None, /
) -> Image: ...
def premultiply(rgba: Image, out: Image | None, threads: int | None, /) -> Image: ...
def unpremultiply(rgba: Image, out: Image | None, threads: int | None, /) -> Image: ...
def resize(
    image: Pixels, size: Size, filter: Filter, out: Pixels | None, threads: int | None, /
) -> Pixels: ...
def to_tensor(
    image: Image,
    size: Size | None,
    filter: Filter,
    scale: float,
    mean: Sequence[float],
    std: Sequence[float],
    pixel_format: PixelFormat,
    layout: Layout,
    out: Tensor | None,
    threads: int | None,
    /,
) -> Tensor: ...
