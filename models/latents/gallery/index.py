"""The page of a gallery: every view with its caption, by section."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ...evaluation.page import STYLE
from ..collection import Collection
from ..views import View

LOOKS = (
    "body { max-width: 1200px } "
    "iframe { width: 100%; height: 900px; border: 1px solid var(--faint) } "
    "video { width: 100% } img { background: #fff }"
)
LAYERS_IN_WORDS = (
    "The first layer is the per-speaker RNN, which hears one channel; the last one is the "
    "cross-speaker RNN, which hears what both hold in mind. "
    "Each caption says what was measured; a picture of few events can mislead, and its caption "
    "says how few they are."
)


def index_page(
    name: str, collection: Collection, made: Sequence[tuple[str, View]], missing: dict[str, str]
) -> str:
    """The text of index.html.

    Args:
        name: of the network.
        collection: that the views are of.
        made: views with the section of each.
        missing: why other views, by title, could not be made.
    """
    dialogues = collection.dialogues
    seconds = (
        sum(collection.frame_count(number) for number in range(len(dialogues)))
        / collection.frame_rate_hz
    )
    counts = [
        f"{len(collection.events(kind))} {kind}s" for kind in ("shift", "hold", "backchannel")
    ]
    which = dialogues[0].id if len(dialogues) == 1 else f"{len(dialogues)} dialogues"
    parts = [
        f"<h1>Inside {html.escape(name)}</h1><p class='note'>{html.escape(which)}, "
        f"{seconds / 60:.1f} minutes, {', '.join(counts)}. {LAYERS_IN_WORDS}</p>"
    ]
    for section in dict.fromkeys(section for section, _ in made):
        parts.append(f"<h2>{html.escape(section)}</h2>")
        parts += [_figure(view) for found, view in made if found == section]
    if missing:
        listed = "".join(
            f"<li>{html.escape(title)}: {html.escape(reason)}</li>"
            for title, reason in missing.items()
        )
        parts.append(f"<h2>Not shown</h2><ul>{listed}</ul>")
    style = STYLE + LOOKS
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Inside {html.escape(name)}</title><style>{style}</style>"
    )
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
    )


def _figure(view: View) -> str:
    name, title, words = view.path.name, html.escape(view.title), html.escape(view.caption)
    if view.path.suffix == ".html":
        return (
            f'<h3><a href="{name}">{title}</a></h3><p class="note">{words}</p>'
            f'<iframe loading="lazy" src="{name}" title="{title}"></iframe>'
        )
    if view.path.suffix == ".mp4":
        return (
            f'<h3>{title}</h3><figure><video controls preload="metadata" src="{name}"></video>'
            f"<figcaption>{words}</figcaption></figure>"
        )
    return f'<figure><img loading="lazy" src="{name}" alt="{words}"></figure>'
