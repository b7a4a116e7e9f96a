"""Renders the panel in all its states, and a comparison, to PNG; run it after every change of the panel.

    python Testing/slicer/render_panel.py FOLDER [--volume FILE]

It also renders the pictures for the README, with the volume of the demo. It runs in the test host, not in Slicer.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]


def main() -> None:
    """Render every state."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--volume", type=Path, help="volume to sharpen (default: a phantom)")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    import host

    session = host.boot()
    session.newScene()
    module = session.loadModule(ROOT / "ArSSR" / "ArSSR.py")
    panel = session.makeWidget(module)
    try:
        render_states(session, panel, module, args)
    finally:
        session.closeWidget(module)


def render_states(session, panel, module, args) -> None:
    """Use the panel like a user, and save a picture at every step."""

    def shoot(name: str) -> None:
        session.process_events(0.1)
        session.render(panel.parent, args.folder / f"panel_{name}.png")

    session.wait_until(lambda: panel.engine.facts is not None, timeout=120)
    panel.ui.engineButton.collapsed = False
    shoot("empty")
    panel.ui.engineButton.collapsed = True
    volume = load(args.volume)
    parameters = panel._parameterNode
    parameters.inputVolume = volume
    parameters.device = "cpu"
    parameters.mode = (
        module.ScaleMode.ISOTROPIC if min(volume.GetSpacing()) < 0.8 * max(volume.GetSpacing()) else parameters.mode
    )
    panel.ui.qualityButton.collapsed = False
    parameters.thicknessSource = module.ThicknessSource.STATED
    session.process_events(0.5)
    session.wait_until(lambda: not panel.profile.running, timeout=120)
    shoot("ready")
    session.click(panel.ui.applyButton)
    session.wait_until(lambda: panel.ui.progressBar.value > 400, timeout=300)
    shoot("running")
    session.wait_until(lambda: not panel.ui.cancelButton.enabled, timeout=600)
    shoot("done")
    session.click(panel.ui.compareButton)
    session.process_events(0.2)
    save_views(session, args.folder / "compare.png")
    session.click(panel.ui.compareButton)
    show_error(session, panel, args.folder / "damaged.safetensors")
    shoot("error")


def load(path):
    """Return a volume node from a file, or a phantom with thick slices."""
    import slicer
    import slicer.util
    from ArSSRPanel import nodes

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1")
    if path is None:
        import phantoms

        from ArSSRLib.geometry import VolumeGeometry

        geometry = VolumeGeometry((100, 120, 24), (1.0, 1.0, 4.0))
        volume = phantoms.sample(phantoms.blobs_in(geometry), geometry)
    else:
        from ArSSRLib.io import read_volume

        volume = read_volume(path)
    nodes.updateNodeFromVolume(node, volume)
    node.CreateDefaultDisplayNodes()
    return node


def show_error(session, panel, path: Path) -> None:
    """Request weights that cannot be read, and show the path that a user might have."""
    path.write_bytes(b"not weights")
    panel._parameterNode.model = str(path)
    session.click(panel.ui.applyButton)
    session.wait_until(lambda: not panel.ui.cancelButton.enabled, timeout=120)
    panel.ui.statusLabel.text = panel.ui.statusLabel.text.replace(str(path.parent.absolute()), "/home/anna")
    path.unlink()


def save_views(session, path: Path) -> None:
    """Write the slice views of the comparison, side by side."""
    import numpy as np
    from ArSSRPanel.compare import VIEWS
    from PIL import Image

    views = [session.view_image(name, size=(400, 400)) for name in VIEWS]
    Image.fromarray(np.concatenate(views, axis=1)).save(path)


if __name__ == "__main__":
    main()
