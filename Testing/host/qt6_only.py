"""What only Qt 6 has: Slicer 5.10 runs on Qt 5.15, so the host hides it.

Found by comparing the interfaces of PyQt5 5.15.11 and PySide6 6.12 class by class, for the classes that the
panel uses, and kept where Qt's documentation says "since 6". What only Qt 5 has is missing by itself,
because the host runs on Qt 6.
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
# Enums and classes of which Qt 5 has nothing at all.
ENUMS = frozenset({"ColorScheme", "PermissionStatus"})
CLASSES = frozenset({"QEventPoint", "QInputDevice", "QKeyCombination", "QPointingDevice", "QStringDecoder"})


def is_qt6_only(native: type, name: str) -> bool:
    """Tell whether a member of a class, or of a base of it, does not exist in Qt 5.15."""
    return any(name in MEMBERS.get(base.__name__, ()) for base in native.__mro__)
