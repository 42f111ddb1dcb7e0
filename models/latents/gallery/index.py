"""The page of a gallery: every view with its caption, by section."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ...evaluation.page import html_page
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
FIGURES = {  # by suffix
    ".html": '<h3><a href="{name}">{title}</a></h3><p class="note">{caption}</p>'
    '<iframe loading="lazy" src="{name}" title="{title}"></iframe>',
    ".mp4": '<h3>{title}</h3><figure><video controls preload="metadata" src="{name}"></video>'
    "<figcaption>{caption}</figcaption></figure>",
    ".png": '<figure><img loading="lazy" src="{name}" alt="{caption}"></figure>',
}


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
    frames = sum(collection.frame_count(number) for number in range(len(dialogues)))
    kinds = ("shift", "hold", "backchannel")
    counts = ", ".join(f"{len(collection.events(kind))} {kind}s" for kind in kinds)
    which = dialogues[0].id if len(dialogues) == 1 else f"{len(dialogues)} dialogues"
    title, minutes = f"Inside {name}", f"{frames / collection.frame_rate_hz / 60:.1f} minutes"
    about = f"{escape(which)}, {minutes}, {counts}. {LAYERS_IN_WORDS}"
    parts = [f"<h1>{escape(title)}</h1><p class='note'>{about}</p>"]
    for section in dict.fromkeys(section for section, _ in made):
        parts.append(f"<h2>{escape(section)}</h2>")
        parts += [_figure(view) for found, view in made if found == section]
    if missing:
        lacking = [f"<li>{escape(what)}: {escape(why)}</li>" for what, why in missing.items()]
        parts.append(f"<h2>Not shown</h2><ul>{''.join(lacking)}</ul>")
    return html_page(title, "".join(parts), LOOKS)


def _figure(view: View) -> str:
    words = {"name": view.path.name, "title": escape(view.title), "caption": escape(view.caption)}
    return FIGURES[view.path.suffix].format(**words)
