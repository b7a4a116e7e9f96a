"""Renders a comparison and the lens of the live preview, as pictures with labels and as an animation.

    python Testing/slicer/render_comparison.py FOLDER INPUT RESULT

INPUT is a volume with thick slices, and RESULT is its result of `arssr upsample`. The script writes compare.png, three
linked views; lens.png, the lens in a slice view of the input; and lens_and_swipe.gif. Slicer's own slice logic
computes the views in the test host, and the labels are those of the module.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "ArSSR"), str(ROOT / "Testing")]

STILL, MOVING = (480, 400), (600, 420)
FRAME_MS = 120
# Height of legible letters, in pixels.
LEAST_LETTERS = 15
# Positions of the lens in the frames of the animation, as fractions of the width and the height of the view.
LENS_PLACES = [(0.4 + 0.04 * step, 0.5 + 0.05 * np.sin(step)) for step in range(6)]
DIVIDER_PLACES = [*np.linspace(0.1, 0.9, 12), *np.linspace(0.9, 0.1, 12)]


def main() -> None:
    """Render everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("folder", "input", "result"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    import host

    session = host.boot()
    session.newScene()
    before, after = load(args.input), load(args.result)
    session.process_events(0.1)
    swipe = comparison_frames(session, before, after, args.folder / "compare.png")
    lens = lens_frames(session, args.input, before, after)
    lens[-1].save(args.folder / "lens.png", optimize=True)
    save_animation([*lens, *swipe], args.folder / "lens_and_swipe.gif")


def load(path: Path) -> Any:
    """Return a volume node from a file, with window and level for its anatomy."""
    import slicer
    import slicer.util
    from ArSSRPanel import nodes
    from ArSSRPanel.windowing import anatomyWindow, setWindow

    from ArSSRLib.io import read_volume

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", path.name.partition(".")[0])
    nodes.updateNodeFromVolume(node, read_volume(path))
    node.CreateDefaultDisplayNodes()
    setWindow(node, *anatomyWindow(slicer.util.arrayFromVolume(node)))
    return node


def comparison_frames(session: Any, before: Any, after: Any, still: Path) -> list[Any]:
    """Write the comparison side by side; return the frames of a divider that moves across the view."""
    from ArSSRPanel.compare import VIEWS, CompareMode, Comparison
    from PIL import Image

    comparison = Comparison()
    comparison.start(before, after)
    session.process_events(0.1)
    views = [np.asarray(picture(session, name, STILL)) for name in VIEWS]
    Image.fromarray(np.concatenate(views, axis=1)).save(still, optimize=True)
    comparison.start(before, after, mode=CompareMode.SWIPE)
    session.process_events(0.1)  # the views get their sizes from the event loop
    picture(session, "Red", MOVING)
    frames = []
    for part in DIVIDER_PLACES:
        comparison._swipe.moveTo(part)
        frames.append(picture(session, "Red", MOVING, fit=False))
    comparison.stop()
    return frames


def lens_frames(session: Any, path: Path, before: Any, after: Any) -> list[Any]:
    """Return the frames of a lens that is moved over a view of the input, and rests at its last place."""
    import slicer
    import slicer.util
    from ArSSRPanel import views
    from ArSSRPanel.lens import Lens
    from ArSSRPanel.lens_plane import targetOf
    from ArSSRPanel.nodes import geometryOf
    from ArSSRPanel.preview import labelOf
    from ArSSRPanel.sharpened import turnToSharpened

    from ArSSRLib.checkpoint import DEFAULT_MODEL, load_model
    from ArSSRLib.io import read_volume
    from ArSSRLib.options import UpsamplingOptions
    from ArSSRLib.upsampling import decided, lens
    from ArSSRLib.upsampling.plane import Plane

    options = decided(UpsamplingOptions(device="cpu"))
    engine = lens.Lens(read_volume(path), load_model(DEFAULT_MODEL), options)
    scale = tuple(a / b for a, b in zip(before.GetSpacing(), after.GetSpacing(), strict=True))
    views.showInViews(before)
    widget = slicer.app.layoutManager().sliceWidget("Red")
    turnToSharpened(widget.mrmlSliceNode(), before, after)
    picture(session, "Red", MOVING)
    shown, frames = Lens(before, lambda: None), []
    for (x, y), rests in zip(LENS_PLACES, [*[False] * (len(LENS_PLACES) - 1), True], strict=True):
        shown.moveTo("Red", x * MOVING[0], y * MOVING[1])
        toRAS = slicer.util.arrayFromVTKMatrix(widget.mrmlSliceNode().GetXYToRAS())
        target = targetOf("Red", toRAS, shown.square, fine=geometryOf(after), scale=scale, localToWorld=np.eye(4))
        plane = Plane(target.origin, target.columnStep, target.rowStep, target.size)
        answer = engine.answer(plane, scale, exact=rests)
        label = labelOf(scale, exact=answer.exact, uncorrected=answer.uncorrected, options=options)
        shown.show(answer.plane, np.reshape(target.ijkToRAS, (4, 4)), label)
        frames.append(picture(session, "Red", MOVING, fit=False))
    shown.remove()
    return frames


def picture(session: Any, name: str, size: tuple[int, int], *, fit: bool = True) -> Any:
    """Return the image of a slice view, with the label at its upper edge."""
    import slicer
    import vtk
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(session.view_image(name, size=size, fit=fit))
    annotation = slicer.app.layoutManager().sliceWidget(name).sliceView().cornerAnnotation()
    text = annotation.GetText(vtk.vtkCornerAnnotation.UpperEdge) or ""
    font = ImageFont.load_default(size=max(size[1] // 26, LEAST_LETTERS))
    draw = ImageDraw.Draw(image)
    look = {"fill": (255, 255, 160), "stroke_width": 2, "stroke_fill": (0, 0, 0), "align": "center"}
    draw.multiline_text((size[0] / 2, 6), text, font=font, anchor="ma", **look)
    return image


def save_animation(frames: list[Any], path: Path) -> None:
    """Write frames as a GIF that loops."""
    from PIL import Image

    small = [frame.quantize(256, dither=Image.Dither.NONE) for frame in frames]
    small[0].save(path, save_all=True, append_images=small[1:], duration=FRAME_MS, loop=0, optimize=True)


if __name__ == "__main__":
    main()
