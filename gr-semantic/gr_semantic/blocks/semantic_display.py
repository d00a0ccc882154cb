# SPDX-License-Identifier: GPL-3.0-or-later
"""A QT widget with the current images, their decoded classes, and SNR and accuracy over time."""

import threading

import numpy as np
from gnuradio import gr
from PyQt5 import QtCore, QtGui, QtWidgets  # isort: split

import pyqtgraph as pg  # after PyQt5: it takes the Qt that is loaded, or else PyQt6 if that is installed

from gr_semantic.blocks.display_history import DisplayHistory
from gr_semantic.blocks.message_block import MessageBlock, guarded
from gr_semantic.blocks.pdu import read_pdu, require
from gr_semantic.blocks.slot_rows import SlotRows
from gr_semantic.errors import UserError
from gr_semantic.link.frame_log import NAN

_REFRESH_MS = 200
_TILES = 8
_TILE_PIXELS = 84
_COLOURS = {True: "#107c10", False: "#c50f1f", None: "#404040"}
# (column of DisplayHistory.curves, legend, colour)
_SNR_CURVES = ((1, "true", "#808080"), (2, "measured", "#0063b1"), (3, "used", "#ca5010"))


class SemanticDisplay(MessageBlock, gr.basic_block):
    """Shows what arrives. ``widget`` is the QWidget to put into a window.

    Input ``results``: the decoder's results and ticks. Input ``images``: what was sent. A QApplication must exist.

    Args:
        slot_s: link time of a slot, seconds.
        snr_db: true SNR to draw beside the measured one; None: unknown.
        span_s: link time of the curves, seconds.
        average_images: accuracy is that of so many last images.
    """

    def __init__(self, slot_s, snr_db=None, span_s=20.0, average_images=200):
        for name, value in (("slot_s", slot_s), ("span_s", span_s), ("average_images", average_images)):
            if not value > 0:
                raise UserError(f"{name} is {value}, expected more than 0")
        gr.basic_block.__init__(self, name="semantic_display", in_sig=None, out_sig=None)
        self.set_snr_db(snr_db)
        self._lock = threading.Lock()
        self._history = DisplayHistory(float(span_s), int(average_images))
        self._rows = SlotRows(float(slot_s), sample_rate_hz=1.0, with_feedback=False)
        self._image_set = None
        self.widget = _Display(self._snapshot)
        self.open_ports({"results": self.on_result, "images": self.on_images})

    def set_snr_db(self, snr_db):
        """Change the true SNR while running."""
        self.snr_db = NAN if snr_db is None else float(snr_db)

    @guarded
    def on_result(self, message):
        self._take(self._rows.result(*read_pdu(message)))

    @guarded
    def on_images(self, message):
        meta, indices = read_pdu(message)
        self._image_set = require(meta, "images", str)
        self._take(self._rows.images(meta, indices))

    def _take(self, rows):
        with self._lock:
            for row in rows:
                self._history.add(row, self._image_set, self.snr_db)

    def _snapshot(self):
        with self._lock:
            return self._history.curves(), self._history.tiles(_TILES), self._history.summary()


class _Display(QtWidgets.QWidget):
    """Asks ``snapshot`` for (curves, tiles, summary) five times a second and draws it; lives in the GUI thread."""

    def __init__(self, snapshot):
        super().__init__()
        self._snapshot = snapshot
        self._summary = QtWidgets.QLabel()
        grid = QtWidgets.QGridLayout()
        self._pictures, self._captions = [], []
        for column in range(_TILES):
            for labels, row in ((self._pictures, 0), (self._captions, 1)):
                label = QtWidgets.QLabel(alignment=QtCore.Qt.AlignCenter)
                grid.addWidget(label, row, column)
                labels.append(label)
        snr_plot, snr_lines = _plot("SNR (dB)", _SNR_CURVES)
        accuracy_plot, (accuracy_line, budget_line) = _plot(
            "accuracy (%), budget", ((4, "accuracy", "#107c10"), (5, "symbols per image", "#881798"))
        )
        accuracy_plot.setYRange(0, 100)
        accuracy_plot.setXLink(snr_plot)
        self._lines = [*snr_lines, accuracy_line, budget_line]
        layout = QtWidgets.QVBoxLayout(self)
        layout.addWidget(self._summary)
        layout.addLayout(grid)
        layout.addWidget(snr_plot, 1)
        layout.addWidget(accuracy_plot, 1)
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.refresh)
        self._timer.start(_REFRESH_MS)

    def refresh(self):
        """Draw what is there now."""
        curves, tiles, summary = self._snapshot()
        self._summary.setText(summary)
        for column, line in self._lines:
            line.setData(curves[:, 0], curves[:, column], connect="finite")
        for tile, picture, caption in zip(tiles, self._pictures, self._captions, strict=False):
            picture.setPixmap(_pixmap(tile.pixels))
            caption.setText(tile.text)
            caption.setStyleSheet(f"color: {_COLOURS[tile.right]}; font-weight: bold")


def _plot(title, curves):
    plot = pg.PlotWidget(background="w")
    plot.addLegend(offset=(10, 1), colCount=len(curves), brush=(255, 255, 255, 200), labelTextColor="k")
    plot.getViewBox().setDefaultPadding(0.12)  # room for the legend
    plot.showGrid(x=True, y=True, alpha=0.3)
    plot.setLabel("left", title)
    plot.setLabel("bottom", "link time (s)")
    lines = []
    for column, name, colour in curves:
        line = plot.plot(name=name, pen=pg.mkPen(colour, width=2))
        line.curve.setSegmentedLineMode("off")  # pyqtgraph 0.13 fails to draw a segmented line of fewer than two points
        lines.append((column, line))
    return plot, lines


def _pixmap(pixels):
    height, width = pixels.shape[:2]
    kind = QtGui.QImage.Format_Grayscale8 if pixels.ndim == 2 else QtGui.QImage.Format_RGB888
    image = QtGui.QImage(np.ascontiguousarray(pixels).tobytes(), width, height, pixels.nbytes // height, kind)
    return QtGui.QPixmap.fromImage(image).scaled(_TILE_PIXELS, _TILE_PIXELS, QtCore.Qt.KeepAspectRatio)
