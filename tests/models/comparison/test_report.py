"""The table, the plot and the page of a comparison, from known figures."""

from __future__ import annotations

import csv
from pathlib import Path

from turnstream.models.comparison.grid import Grid
from turnstream.models.comparison.report import write_report

from .conftest import COSTS, both


def test_the_report_is_a_table_a_plot_and_a_page(grid: Grid, tmp_path: Path) -> None:
    page, table, plot = write_report(grid, both(3.0, 0.5), COSTS, tmp_path)
    text = page.read_text()
    assert "To see &lt;what&gt; is said. All are means over the seeds." in text
    assert "one difference in twenty, of 5 here, may seem to be one by chance" in text
    assert "<td>5.3 h</td><td>4.0 h</td><td>0.0 h</td>" in text
    assert "<h3>Is the other better?</h3>" in text
    assert "<b>base</b>: What others are compared with." in text
    assert plot.name in text
    with table.open(newline="") as rows:
        first, second = csv.DictReader(rows)
    assert (first["row"], second["row"], second["against"]) == ("base", "other", "base")
    assert float(second["auc_gain_low"]) > 0
    assert plot.read_bytes().startswith(b"\x89PNG")
