from collections.abc import Sequence
from typing import Literal

from fastmatte.arrays import (
    Alpha,
    AlphaDtype,
    AnyAlpha,
    AnyTensor,
    Array,
    Box,
    Colour,
    Filter,
    ForegroundMethod,
    Frame,
    FrameFormat,
    Image,
    Layout,
    PixelFormat,
    Pixels,
    Size,
    Tensor,
    TensorDtype,
    YuvMatrix,
    YuvRange,
)

MAX_PIXELS: int
MAX_SIGMA: float
MIN_SIGMA: float
__version__: str

def available_isas() -> list[str]: ...
def active_isa() -> str: ...
def force_isa(name: str) -> None: ...
def default_threads() -> int: ...
def system_allocations() -> int: ...
def take_peak_bytes() -> int: ...
def release_stored_blocks() -> None: ...
def limit_cached_bytes(bytes: int) -> int: ...
def calculate(rounds: int, /) -> int: ...
def copy(source: Image, out: Image, threads: int | None, /) -> None: ...
def blur(
    image: Image,
    sigma: float,
    weight: AnyAlpha | None,
    out: Image | None,
    threads: int | None,
    /,
) -> Image: ...
def carry(
    before: Image, image: Image, alpha: Alpha, out: Alpha | None, threads: int | None, /
) -> Alpha: ...
def composite(
    foreground: Image,
    background: Image | Sequence[int],
    alpha: AnyAlpha,
    linear_light: bool,
    out: Image | None,
    threads: int | None,
    /,
) -> Image: ...
def composite_tensor(
    tensor: Tensor,
    background: Image | Sequence[int],
    alpha: Alpha,
    pixel_format: PixelFormat,
    out: Image | None,
    threads: int | None,
    /,
) -> Image: ...
def cutout(
    foreground: Image, alpha: AnyAlpha, out: Image | None, threads: int | None, /
) -> Image: ...
def dilate(alpha: Pixels, radius: int, out: Pixels | None, threads: int | None, /) -> Pixels: ...
def erode(alpha: Pixels, radius: int, out: Pixels | None, threads: int | None, /) -> Pixels: ...
def estimate_foreground(
    image: Image,
    alpha: AnyAlpha,
    method: ForegroundMethod,
    out: Image | None,
    threads: int | None,
    /,
) -> Image: ...
def guided_filter(
    guide: Image,
    alpha: Alpha,
    radius: int,
    eps: float,
    subsample: int,
    dtype: AlphaDtype | None,
    out: AnyAlpha | None,
    threads: int | None,
    /,
) -> AnyAlpha: ...
def guided_upsample(
    guide: Image,
    alpha: Alpha,
    radius: int,
    eps: float,
    unsure: float | None,
    dtype: AlphaDtype | None,
    out: AnyAlpha | None,
    threads: int | None,
    /,
) -> AnyAlpha: ...
def motion_adaptive_filter(
    before: Image,
    image: Image,
    alpha_before: Alpha,
    alpha: Alpha,
    weight: float,
    radius: int,
    motion: Sequence[float],
    jump: Sequence[float],
    out: Alpha | None,
    threads: int | None,
    /,
) -> Alpha: ...
def one_frame_delay(
    before: Alpha,
    alpha: Alpha,
    after: Alpha,
    threshold: float,
    out: Alpha | None,
    threads: int | None,
    /,
) -> Alpha: ...
def premultiply(rgba: Image, out: Image | None, threads: int | None, /) -> Image: ...
def trimap(
    alpha: AnyAlpha,
    radius: int,
    low: float,
    high: float,
    out: Image | None,
    threads: int | None,
    /,
) -> Image: ...
def unpremultiply(rgba: Image, out: Image | None, threads: int | None, /) -> Image: ...
def quantise(alpha: Alpha, out: Image | None, threads: int | None, /) -> Image: ...
def require_image(image: Array, name: str, channels: int, /) -> None: ...
def clamp_alpha(alpha: Alpha, name: str, threads: int | None, /) -> None: ...
def require_alpha(alpha: Array, name: str, threads: int | None, /) -> None: ...
def require_alpha_out(out: Array, height: int, width: int, /) -> None: ...
def from_tensor(
    tensor: Tensor, pixel_format: PixelFormat, out: Image | None, threads: int | None, /
) -> Image: ...
def resize(
    image: AnyAlpha,
    size: Size,
    filter: Filter,
    dtype: AlphaDtype | None,
    out: AnyAlpha | None,
    threads: int | None,
    /,
) -> AnyAlpha: ...
def letterbox(image_size: Size, size: Size, /) -> Box: ...
def to_tensor(
    image: Frame,
    size: Size | None,
    crop: Box | None,
    letterbox: Colour | None,
    filter: Filter,
    scale: float,
    mean: Sequence[float],
    std: Sequence[float],
    pixel_format: FrameFormat,
    matrix: YuvMatrix,
    range: YuvRange,
    layout: Layout,
    dtype: TensorDtype | None,
    out: AnyTensor | None,
    threads: int | None,
    /,
) -> AnyTensor: ...
def rgb_to_yuv(
    image: Image,
    matrix: YuvMatrix,
    range: YuvRange,
    out: tuple[Image, Image, Image] | None,
    threads: int | None,
    /,
) -> tuple[Image, Image, Image]: ...
def yuv_to_rgb(
    image: Frame,
    pixel_format: Literal["i420", "nv12"],
    matrix: YuvMatrix,
    range: YuvRange,
    out: Image | None,
    threads: int | None,
    /,
) -> Image: ...
def alpha_error(
    alpha: AnyAlpha, truth: AnyAlpha, trimap: Image | None, threads: int | None, /
) -> tuple[float, float, int]: ...
def gradient_error(
    alpha: AnyAlpha, truth: AnyAlpha, trimap: Image | None, threads: int | None, /
) -> float: ...
def connectivity_error(
    alpha: AnyAlpha, truth: AnyAlpha, trimap: Image | None, threads: int | None, /
) -> float: ...
def temporal_error(
    alpha_before: AnyAlpha,
    alpha: AnyAlpha,
    truth_before: AnyAlpha,
    truth: AnyAlpha,
    trimap: Image | None,
    threads: int | None,
    /,
) -> float: ...
