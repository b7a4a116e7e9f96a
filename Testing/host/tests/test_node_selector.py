"""The node selector of the host behaves as qMRMLNodeComboBox does in Slicer."""

from __future__ import annotations

import pytest
import slicer


@pytest.fixture
def selector(scene):
    """A selector of scalar volumes, as a .ui file makes it, without a scene."""
    made = slicer.qMRMLNodeComboBox()
    made.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    yield made
    made.setMRMLScene(None)


def add(scene, kind="vtkMRMLScalarVolumeNode", name="volume"):
    return scene.AddNewNodeByClass(kind, name)


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("noneEnabled", False),
        ("addEnabled", True),
        ("removeEnabled", True),
        ("renameEnabled", False),
        ("showHidden", False),
        ("showChildNodeTypes", True),
        ("selectNodeUponCreation", True),
        ("noneDisplay", "None"),
    ],
)
def test_the_defaults_are_those_of_slicer(selector, name, default):
    assert getattr(selector, name) == default


def test_it_is_disabled_until_it_has_a_scene(scene, selector):
    assert not selector.enabled
    selector.setMRMLScene(scene)

    assert selector.enabled


def test_label_maps_are_offered_unless_children_are_switched_off(scene, selector):
    add(scene)
    add(scene, "vtkMRMLLabelMapVolumeNode")
    selector.setMRMLScene(scene)
    assert selector.nodeCount() == 2
    selector.showChildNodeTypes = False

    assert selector.nodeCount() == 1


def test_hidden_nodes_are_not_offered(scene, selector):
    add(scene).HideFromEditorsOn()
    selector.setMRMLScene(scene)

    assert selector.nodeCount() == 0


def test_nodes_can_be_filtered_by_attribute(scene, selector):
    add(scene)
    add(scene).SetAttribute("Modality", "MR")
    selector.addAttribute("vtkMRMLScalarVolumeNode", "Modality", "MR")
    selector.setMRMLScene(scene)

    assert selector.nodeCount() == 1


def test_an_added_node_is_offered_but_not_selected(scene, selector):
    selector.setMRMLScene(scene)
    add(scene)

    assert selector.nodeCount() == 1
    assert selector.currentNode() is None


def test_the_first_node_is_selected_if_there_is_no_menu_and_no_empty_entry(scene, selector):
    selector.addEnabled = selector.removeEnabled = False
    selector.setMRMLScene(scene)
    node = add(scene)

    assert selector.currentNode() is node


def test_selecting_a_node_emits_each_signal_once(scene, selector):
    seen = []
    selector.setMRMLScene(scene)
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    selector.connect("currentNodeChanged(bool)", seen.append)
    selector.currentNodeIDChanged.connect(seen.append)
    node = add(scene)
    selector.setCurrentNode(node)
    selector.setCurrentNode(node)

    assert seen == [node, True, node.GetID()]
    assert selector.currentNodeID == node.GetID()


def test_a_node_selected_before_the_scene_is_set_is_remembered(scene, selector):
    node = add(scene)
    selector.setCurrentNode(node)
    assert selector.currentNode() is None
    selector.setMRMLScene(scene)

    assert selector.currentNode() is node


def test_a_node_that_is_not_offered_selects_none(scene, selector):
    selector.setMRMLScene(scene)
    selector.setCurrentNode(add(scene))
    selector.setCurrentNode(add(scene, "vtkMRMLModelNode"))

    assert selector.currentNode() is None


def test_removing_the_selected_node_selects_the_last_or_none(scene, selector):
    selector.setMRMLScene(scene)
    nodes = [add(scene) for _ in range(3)]
    selector.setCurrentNode(nodes[0])
    scene.RemoveNode(nodes[0])
    assert selector.currentNode() is nodes[2]
    selector.noneEnabled = True
    scene.RemoveNode(nodes[2])

    assert selector.currentNode() is None


def test_closing_the_scene_clears_the_selector(slicerHost, scene, selector):
    selector.setMRMLScene(scene)
    selector.setCurrentNode(add(scene))
    slicerHost.closeScene()

    assert (selector.nodeCount(), selector.currentNode()) == (0, None)


def test_a_node_created_by_the_menu_is_named_selected_and_emitted(scene, selector):
    seen = []
    selector.baseName = "Upsampled"
    selector.nodeAddedByUser.connect(seen.append)
    selector.setMRMLScene(scene)
    node = selector.addNode()

    assert seen == [node]
    assert (node.GetName(), selector.currentNode()) == ("Upsampled", node)


def test_a_top_widget_passes_its_scene_to_a_selector(scene, selector):
    top = slicer.qMRMLWidget()
    top.connect("mrmlSceneChanged(vtkMRMLScene*)", selector.setMRMLScene)
    top.setMRMLScene(scene)

    assert selector.mrmlScene() is scene
