# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard's QT widget: where the link stands, the current images, SNR, accuracy, symbols and carriers."""

import math

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets  # isort: split

import pyqtgraph as pg  # after PyQt5: it takes the Qt that is loaded, or else PyQt6 if that is installed

TILES = 6
_REFRESH_MS = 200
_LARGE, _SMALL = 120, 84  # pixels of the first image and of the others
_CAPTION = 122
_SHORTEST_SPAN_S = 0.5
_FLOOR_DB = -40.0
# Okabe and Ito's colours: told apart with any colour vision. Nothing is said by colour alone.
_BLUE, _VERMILION, _GREY = "#0072B2", "#D55E00", "#666666"
_MARKS = {True: "✓", False: "✗", None: ""}
_COLOURS = {True: _BLUE, False: _VERMILION, None: "black"}
_DASH, _SOLID = QtCore.Qt.DashLine, QtCore.Qt.SolidLine
# (column of Snapshot.curves, colour, line, width)
_SNR_CURVES = ((1, "black", _DASH, 3), (2, _BLUE, _SOLID, 2), (3, _VERMILION, _SOLID, 2))
_SNR_TITLE = (  # the legend too: inside, it would lie on the curves
    "SNR (dB):&nbsp; - - true &nbsp; "
    f"<span style='color: {_BLUE}'>━ measured at the receiver</span> &nbsp; "
    f"<span style='color: {_VERMILION}'>━ used by the encoder</span>"
)
_FIGURES = ("Right answers", "SNR", "Budget", "Feedback age", "Lost frames")


class Dashboard(QtWidgets.QWidget):
    """Asks ``snapshot`` for a Snapshot five times a second and draws it; lives in the GUI thread."""

    def __init__(self, snapshot):
        super().__init__()
        self._snapshot = snapshot
        self.setStyleSheet("Dashboard { background: white } QLabel { color: black }")
        self.setAttribute(QtCore.Qt.WA_StyledBackground)
        self.setMinimumSize(760, 480)
        self._figures = {name: _Figure(name) for name in _FIGURES}
        self._pictures = [_Picture(_SMALL if place else _LARGE) for place in range(TILES)]
        self._snr, snr_lines = _time_plot(_SNR_TITLE, _SNR_CURVES)
        accuracy, accuracy_line = _time_plot("Right answers (%)", ((4, _BLUE, _SOLID, 2),))
        accuracy.setYRange(0, 100, padding=0.2)  # with less, the lowest and the highest label find no room
        accuracy.getAxis("left").setTicks([[(percent, str(percent)) for percent in (0, 50, 100)]])
        budget, budget_line = _time_plot("Symbols per image", ((5, _BLUE, _SOLID, 2),))
        budget.setLabel("bottom", "link time (s)")
        self._lines = (*snr_lines, *accuracy_line, *budget_line)
        budget.setLimits(yMin=0)
        for plot in (accuracy, budget):
            plot.setXLink(self._snr)
        constellation, self._points = _symbol_plot()
        self._evm, self._bars = _carrier_plot()
        self._lay_out(((self._snr, 4), (accuracy, 3), (budget, 3)), ((constellation, 3), (self._evm, 2)))
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.refresh)
        self._timer.start(_REFRESH_MS)
        self.refresh()

    def _lay_out(self, left, right):
        top = QtWidgets.QHBoxLayout()
        for figure in self._figures.values():
            top.addWidget(figure, figure.share)
        images = QtWidgets.QHBoxLayout()
        for picture in self._pictures:
            images.addWidget(picture)
        images.addStretch(1)
        columns = QtWidgets.QHBoxLayout()
        for plots, share in ((left, 3), (right, 2)):
            column = QtWidgets.QVBoxLayout()
            if plots is left:
                column.addLayout(images)
            for plot, height in plots:
                column.addWidget(plot, height)
            columns.addLayout(column, share)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addLayout(columns, 1)

    def refresh(self):
        """Draw what is there now."""
        now = self._snapshot()
        for name, text in figures(now).items():
            self._figures[name].show_text(*text)
        for place, picture in enumerate(self._pictures):
            picture.show_tile(now.tiles[place] if place < len(now.tiles) else None)
        for column, line in self._lines:
            line.setData(now.curves[:, 0], now.curves[:, column], connect="finite")
        if len(now.curves):
            first, last = now.curves[[0, -1], 0]
            self._snr.setXRange(first, max(last, first + _SHORTEST_SPAN_S), padding=0.01)
        self._points.setData(now.symbols.real, now.symbols.imag)
        self._evm.setVisible(len(now.carriers) > 0)  # symbols without a waveform have none
        self._bars.setOpts(x=now.carriers, height=now.carrier_evm_db - _FLOOR_DB)


def figures(now) -> dict[str, tuple[str, str]]:
    """The line at the top: for each figure its value, and a smaller line that says of what."""
    if not len(now.curves):
        return dict.fromkeys(_FIGURES, ("–", "waiting for the first frame"))
    _, true_db, measured_db, used_db, accuracy, budget = now.curves[-1]
    age_s = now.feedback_age_s
    age = "–" if math.isnan(age_s) else f"{1000 * age_s:.0f} ms" if age_s < 1 else f"{age_s:.1f} s"
    return {
        "Right answers": (_number(accuracy, "%"), f"of the last {now.images_judged} images")
        if now.images_judged
        else ("–", "what was sent is not known here"),
        "SNR": (
            _number(measured_db, "dB measured"),
            f"true {_number(true_db, 'dB')}, used by the encoder {_number(used_db, 'dB')}",
        ),
        "Budget": (f"{budget:.0f}", "symbols per image"),
        "Feedback age": (age, "no report has arrived" if math.isnan(age_s) else "since the report was measured"),
        "Lost frames": (f"{now.lost}", f"of {now.frames}"),
    }


def _number(value, unit):
    return "–" if math.isnan(value) else f"{value:.1f} {unit}"


class _Figure(QtWidgets.QFrame):
    """A name, a large value and a line below."""

    def __init__(self, name):
        super().__init__()
        self.share = 3 if name == "SNR" else 2
        self.setStyleSheet("_Figure { border: 1px solid #c0c0c0; border-radius: 4px }")
        self._value, self._below = QtWidgets.QLabel(), QtWidgets.QLabel()
        title = QtWidgets.QLabel(name)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(8, 3, 8, 3)
        layout.setSpacing(0)
        for label, style in (
            (title, f"color: {_GREY}; font-size: 12px"),
            (self._value, "font-size: 22px; font-weight: bold"),
            (self._below, f"color: {_GREY}; font-size: 12px"),
        ):
            label.setStyleSheet(style)
            layout.addWidget(label)

    def show_text(self, value, below):
        self._value.setText(value)
        self._below.setText(below)


class _Picture(QtWidgets.QWidget):
    """An image, what was sent and what was decoded."""

    def __init__(self, size):
        super().__init__()
        self._size = size
        self._image = QtWidgets.QLabel(alignment=QtCore.Qt.AlignCenter)
        self._sent = QtWidgets.QLabel(alignment=QtCore.Qt.AlignCenter)
        self._decoded = QtWidgets.QLabel(alignment=QtCore.Qt.AlignCenter)
        self._image.setFixedSize(size, size)
        self._image.setStyleSheet("background: #e8e8e8; color: #666666; font-size: 12px")
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(3, 0, 3, 0)
        layout.setSpacing(1)
        layout.addStretch(1)
        for label in (self._image, self._sent, self._decoded):
            label.setFixedWidth(size if label is self._image else _CAPTION)
            layout.addWidget(label, alignment=QtCore.Qt.AlignHCenter)

    def show_tile(self, tile):
        self.setVisible(tile is not None)
        if tile is None:
            return
        if tile.pixels is None:
            self._image.setText("no picture\nat this end")
        else:
            self._image.setPixmap(_pixmap(tile.pixels, self._size))
        self._sent.setText(f"sent {tile.sent}" if tile.sent else "")
        decoded = f"{tile.decoded} {_MARKS[tile.right]}" if tile.decoded else f"lost {_MARKS[False]}"
        self._decoded.setText(f"→ {decoded}")
        colour = _COLOURS[tile.right if tile.decoded else False]
        self._decoded.setStyleSheet(f"color: {colour}; font-weight: bold")


def _plot(title):
    plot = pg.PlotWidget(background="w")
    plot.showGrid(x=True, y=True, alpha=0.25)
    plot.setTitle(title, color="k", size="10pt")
    plot.setMouseEnabled(x=False, y=False)
    plot.setMenuEnabled(False)
    plot.hideButtons()
    for side in ("left", "bottom"):
        plot.getAxis(side).setTextPen("k")
        plot.getAxis(side).setPen("k")
    return plot


def _time_plot(title, curves):
    """A plot over link time and its lines as (column, line)."""
    plot = _plot(title)
    plot.getAxis("left").setWidth(42)
    plot.getViewBox().setDefaultPadding(0.1)
    lines = []
    for column, colour, style, width in curves:
        line = plot.plot(pen=pg.mkPen(colour, width=width, style=style))
        line.curve.setSegmentedLineMode("off")  # pyqtgraph 0.13 fails to draw a segmented line of fewer than two points
        lines.append((column, line))
    return plot, lines


def _symbol_plot():
    plot = _plot("Received symbols (analog: no fixed points)")
    plot.setAspectLocked(True)
    plot.setRange(xRange=(-3, 3), yRange=(-3, 3), padding=0)
    plot.setLabel("left", "quadrature")
    plot.setLabel("bottom", "in phase")
    points = pg.ScatterPlotItem(pen=None, brush=pg.mkBrush(0, 114, 178, 140), size=4)
    plot.addItem(points)
    return plot, points


def _carrier_plot():
    plot = _plot("Error of each carrier, EVM (dB): lower is better")
    plot.setLabel("bottom", "carrier")
    plot.setYRange(_FLOOR_DB, 10, padding=0)
    bars = pg.BarGraphItem(x=np.empty(0), height=np.empty(0), y0=_FLOOR_DB, width=0.8, pen=None, brush=_BLUE)
    plot.addItem(bars)
    return plot, bars


def _pixmap(pixels, size):
    height, width = pixels.shape[:2]
    kind = QtGui.QImage.Format_Grayscale8 if pixels.ndim == 2 else QtGui.QImage.Format_RGB888
    image = QtGui.QImage(pixels.tobytes(), width, height, pixels.nbytes // height, kind)
    return QtGui.QPixmap.fromImage(image).scaled(size, size, QtCore.Qt.KeepAspectRatio)
