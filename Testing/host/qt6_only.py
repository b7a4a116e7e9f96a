"""Members that only Qt 6 has: Slicer 5.10 uses Qt 5.15, so the host hides them.

They were found by comparing the interfaces of PyQt5 5.15.11 and PySide6 6.12 for the classes that the panel uses, and
selected if Qt's documentation says "since 6". Members that only Qt 5 has are missing anyway, because the host runs on
Qt 6.
"""

from __future__ import annotations

_MEMBERS = {
    "QAction": "checkableChanged resetEnabled",
    "QCheckBox": "checkStateChanged",
    "QColor": "isValidColorName fromString",
    "QComboBox": "labelDrawingMode setLabelDrawingMode UseDelegate UseStyle",
    "QCoreApplication": "checkPermission requestPermission",
    "QFont": "clearFeatures clearVariableAxes featureTags featureValue isFeatureSet isVariableAxisSet legacyWeight "
    "setFeature setLegacyWeight setVariableAxis unsetFeature variableAxisTags variableAxisValue ContextFontMerging",
    "QFormLayout": "isRowVisible setRowVisible",
    "QGuiApplication": "setBadgeNumber",
    "QLayout": "horizontalSizeConstraint setHorizontalSizeConstraint setVerticalSizeConstraint unsetContentsMargins "
    "verticalSizeConstraint",
    "QMessageBox": "DontUseNativeDialog setOption testOption setOptions options",
    "QProcess": "failChildProcessModifier setUnixProcessParameters startCommand unixProcessParameters",
    "QProcessEnvironment": "inheritsFromParent InheritFromParent",
    "QShortcut": "setKeys",
    "QSignalBlocker": "dismiss",
    "QStackedWidget": "widgetAdded",
    "QTimer": "intervalAsDuration remainingTimeAsDuration",
    "QUrl": "AceTransitionalProcessing IgnoreIDNWhitelist",
    "QWidget": "accessibleIdentifier setAccessibleIdentifier",
    "Qt": "SingleShotConnection ExpandedClientAreaHint",
}
MEMBERS = {owner: frozenset(names.split()) for owner, names in _MEMBERS.items()}
# Enums and classes that Qt 5 lacks entirely.
ENUMS = frozenset({"ColorScheme", "PermissionStatus"})
CLASSES = frozenset({"QEventPoint", "QInputDevice", "QKeyCombination", "QPointingDevice", "QStringDecoder"})


def is_qt6_only(native: type, name: str) -> bool:
    """Return whether a member of a class, or of one of its bases, does not exist in Qt 5.15."""
    return any(name in MEMBERS.get(base.__name__, ()) for base in native.__mro__)
