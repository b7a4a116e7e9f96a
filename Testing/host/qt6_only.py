"""What only Qt 6 has: Slicer 5.10 runs on Qt 5.15, so the host hides it.

Found by comparing the interfaces of PyQt5 5.15.11 and PySide6 6.12 class by class, for the classes that a
panel uses, and kept where Qt's documentation says "since 6". What only Qt 5 has is missing by itself,
because the host runs on Qt 6.
"""

from __future__ import annotations

_MEMBERS = {
    "QAbstractItemView": "keyboardSearchFlags setKeyboardSearchFlags setUpdateThreshold updateThreshold",
    "QAction": "checkableChanged resetEnabled",
    "QByteArray": "assign erase isValidUtf8 percentDecoded removeFirst removeLast resizeForOverwrite slice sliced",
    "QCheckBox": "checkStateChanged",
    "QColor": "isValidColorName fromString",
    "QComboBox": "labelDrawingMode setLabelDrawingMode UseDelegate UseStyle",
    "QCoreApplication": "checkPermission requestPermission",
    "QDateTime": "addDuration timeRepresentation",
    "QFile": "supportsMoveToTrash filesystemFileName",
    "QFileInfo": "isAlias isOther junctionTarget readSymLink stat",
    "QFont": "clearFeatures clearVariableAxes featureTags featureValue isFeatureSet isVariableAxisSet legacyWeight "
    "setFeature setLegacyWeight setVariableAxis unsetFeature variableAxisTags variableAxisValue ContextFontMerging",
    "QFontDatabase": "applicationEmojiFontFamilies hasFamily setApplicationEmojiFontFamilies",
    "QFormLayout": "isRowVisible setRowVisible",
    "QGuiApplication": "setBadgeNumber",
    "QHeaderView": "isSortIndicatorClearable setSortIndicatorClearable sortIndicatorClearableChanged",
    "QImage": "colorTransformed convertedTo deviceIndependentSize flip flipped rgbSwap Format_CMYK8888",
    "QLayout": "horizontalSizeConstraint setHorizontalSizeConstraint setVerticalSizeConstraint unsetContentsMargins "
    "verticalSizeConstraint",
    "QListWidget": "setSupportedDragActions",
    "QLocale": "codeToTerritory nativeTerritoryName territory territoryToCode territoryToString AnyTerritory",
    "QMenu": "menuInAction",
    "QMessageBox": "DontUseNativeDialog setOption testOption setOptions options",
    "QPainter": "VerticalSubpixelPositioning NonCosmeticBrushPatterns",
    "QPalette": "Accent accent",
    "QPixmap": "deviceIndependentSize",
    "QProcess": "failChildProcessModifier setUnixProcessParameters startCommand unixProcessParameters",
    "QProcessEnvironment": "inheritsFromParent InheritFromParent",
    "QRegularExpression": "fromWildcard globalMatchView matchView",
    "QShortcut": "setKeys",
    "QSignalBlocker": "dismiss",
    "QStackedWidget": "widgetAdded",
    "QStandardPaths": "GenericStateLocation PublicShareLocation StateLocation TemplatesLocation",
    "QStyle": "SP_TabCloseButton SP_TabScrollDownButton SP_TabScrollLeftButton SP_TabScrollRightButton "
    "SP_TabScrollUpButton",
    "QTableWidget": "setSupportedDragActions",
    "QThread": "isCurrentThread isMainThread serviceLevel setServiceLevel",
    "QTimer": "intervalAsDuration remainingTimeAsDuration",
    "QTreeWidget": "setSupportedDragActions",
    "QUrl": "AceTransitionalProcessing IgnoreIDNWhitelist",
    "QWidget": "accessibleIdentifier setAccessibleIdentifier",
    "Qt": "SingleShotConnection ExpandedClientAreaHint NoTitleBarBackgroundHint Key_micro Key_Keyboard "
    "HighContrast NoPreference ReducedMotion",
}
MEMBERS = {owner: frozenset(names.split()) for owner, names in _MEMBERS.items()}
# Enums of which Qt 5 has no value at all.
ENUMS = frozenset({"ColorScheme", "ContrastPreference", "MotionPreference", "PermissionStatus", "ThemeIcon", "TimerId"})
CLASSES = frozenset(
    [
        "QBluetoothPermission",
        "QCameraPermission",
        "QDirListing",
        "QEventPoint",
        "QHttpHeaders",
        "QIODeviceBase",
        "QInputDevice",
        "QKeyCombination",
        "QMicrophonePermission",
        "QNetworkInformation",
        "QNetworkRequestFactory",
        "QPageRanges",
        "QPermission",
        "QPointingDevice",
        "QRangeModel",
        "QRestAccessManager",
        "QRestReply",
        "QRhiWidget",
        "QStringConverter",
        "QStringDecoder",
        "QStringEncoder",
    ]
)


def is_qt6_only(native: type, name: str) -> bool:
    """Tell whether a member of a class, or of a base of it, does not exist in Qt 5.15."""
    return any(name in MEMBERS.get(base.__name__, ()) for base in native.__mro__)
