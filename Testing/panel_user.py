"""What users do with the panel, for random tests."""

from __future__ import annotations

from typing import Any

import slicer
import vtk


class PanelUser:
    """What users do while the slice views show a preview or a comparison; each action takes a number from 0 to 9."""

    layouts: tuple[int, ...] = ()

    def __init__(self, panel, host):
        self.panel, self.host = panel, host
        self.saved = ""  # the scene as it was saved last

    @classmethod
    def actions(cls) -> list[str]:
        """Return the names of all actions."""
        return sorted(name for name in dir(cls) if not name.startswith("_") and "number" in _arguments(cls, name))

    def view(self) -> Any:
        """Return the slice view that users turn and scroll."""
        raise NotImplementedError

    def scroll(self, number: int) -> None:
        logic = self.view().sliceLogic()
        logic.SetSliceOffset(logic.GetSliceOffset() + (number - 4.5) / 2)

    def rotate(self, number: int) -> None:
        node = self.view().mrmlSliceNode()
        turn = vtk.vtkTransform()
        turn.Concatenate(node.GetSliceToRAS())
        turn.RotateX(4.0 * number)
        node.GetSliceToRAS().DeepCopy(turn.GetMatrix())
        node.UpdateMatrices()

    def layout(self, number: int) -> None:
        slicer.app.layoutManager().setLayout(self.layouts[number % len(self.layouts)])

    def undo(self, number: int) -> None:
        slicer.mrmlScene.Undo()

    def save(self, number: int) -> None:
        slicer.mrmlScene.SetSaveToXMLString(1)
        slicer.mrmlScene.Commit()
        self.saved = slicer.mrmlScene.GetSceneXMLString()
        slicer.mrmlScene.SetSaveToXMLString(0)

    def leave(self, number: int) -> None:
        self.panel.exit()
        self.panel.enter()

    def wait(self, number: int) -> None:
        self.host.process_events(0.01 * number)


def open_scene(text: str) -> None:
    """Close the scene, and open one that was saved."""
    scene = slicer.mrmlScene
    scene.SetLoadFromXMLString(1)
    scene.SetSceneXMLString(text)
    scene.Connect()
    scene.SetLoadFromXMLString(0)


def _arguments(cls: type, name: str) -> tuple[str, ...]:
    code = getattr(getattr(cls, name), "__code__", None)
    return code.co_varnames[1 : code.co_argcount] if code else ()
