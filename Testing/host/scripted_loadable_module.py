"""Stand-in for slicer.ScriptedLoadableModule: the four base classes of a scripted module.

They implement the documented behavior, except for the developer section and screenshots.
"""

from __future__ import annotations

import logging
import sys
import unittest
from pathlib import Path
from typing import Any

import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


class ScriptedLoadableModule:
    """Describes a module to the application."""

    def __init__(self, parent: Any) -> None:
        super().__init__()
        import qt

        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        for suffix in (".svg", ".png"):
            icon = Path(self.resourcePath(f"Icons/{self.moduleName}{suffix}"))
            if icon.is_file():
                parent.icon = qt.QIcon(str(icon))
                break
        slicer.__dict__.setdefault("selfTests", {})[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        """Return the path of a file in the folder Resources of the module."""
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        """Return HTML that links to the documentation."""
        url = slicer.app.documentationBaseUrl + (docPage or f"user_guide/modules/{self.moduleName.lower()}.html")
        return f'<p>For more information, see the <a href="{url}">online documentation</a>.</p>'

    def runTest(self, msec: int = 100, **options: Any) -> None:
        """Run the tests of the module: its class `<name>Test`."""
        test_class = getattr(sys.modules[type(self).__module__], f"{self.moduleName}Test", None)
        if test_class is None:
            msg = f"Test case class not found: {type(self).__module__}.{self.moduleName}Test"
            raise AssertionError(msg)
        test = test_class()
        test.messageDelay = msec
        test.runTest(**options)


class ScriptedLoadableModuleWidget:
    """The contents of the module panel."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        import qt

        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        alone = parent is None
        if alone:
            parent = slicer.qMRMLWidget()
            parent.setLayout(qt.QVBoxLayout())
            parent.setMRMLScene(slicer.mrmlScene)
        self.parent = parent
        self.layout = parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)
        if alone:
            self.setup()
            parent.show()

    def resourcePath(self, filename: str) -> str:
        """Return the path of a file in the folder Resources of the module."""
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        """Build the contents; modules add theirs."""

    def cleanup(self) -> None:
        """Undo setup; modules override it."""

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def onReload(self) -> None:
        """Import the module and build its contents again."""
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    """The computations of a module, and its parameter node."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """Return the first parameter node of the module; a new one if there is none."""
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is not None:
                # Closing a scene may remove the attribute.
                if node.GetAttribute("ModuleName") != self.moduleName:
                    node.SetAttribute("ModuleName", self.moduleName)
                return node
        else:
            existing = self.getAllParameterNodes()
            if existing:
                return existing[0]
        return slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list[Any]:
        """Return all parameter nodes of the module."""
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        """Return a new parameter node, not in the scene yet."""
        if slicer.mrmlScene is None:
            return None
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The tests of a module: run by `runTest()`, or method by method by unittest."""

    messageDelay = 100

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.moduleTestNames = [name for name in dir(self) if "test" in name and callable(getattr(self, name))]

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        """Log a message and let the application draw."""
        slicer.util.delayDisplay(message, self.messageDelay or msec or requestedDelay or 100)

    def runTest(self) -> None:
        """Run all tests."""
        self.setUpClass()
        for name in self.moduleTestNames:
            self.setUp()
            logging.info("Running %s", name)
            getattr(self, name)()
            self.tearDown()
        self.tearDownClass()
