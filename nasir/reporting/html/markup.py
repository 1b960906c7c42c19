"""The report's Markdown as HTML: tables that can be scrolled, charts in place of figures, no link that leads out of the page."""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

FOLD = re.compile(r"<details><summary>([^<>&]*)</summary>\s*|</details>\s*")
"""The only HTML of the report's own; other marks are a name of somebody's file and are shown as they are."""


Place = Callable[[str], str]
"""HTML that stands in place of an image, from what the image shows."""


class _Renderer(RendererHTML):
    """HTML of tokens; what a file was called is never a mark."""

    def html_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        text = tokens[idx].content
        return text if FOLD.fullmatch(text) else escape(text)

    html_inline = html_block

    def figure(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return tokens[idx].content

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        # a region that the keyboard can scroll needs a name
        return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(env["name"])}, table"><table>'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>"


def to_html(text: str, name: str, figures: Mapping[str, Place], files: Mapping[str, str]) -> str:
    """A section's HTML.

    Args:
        text: Markdown.
        name: of the section, for its tables.
        figures: what stands in place of a paragraph that is an image alone, by the image's path; an image without one is
            left out.
        files: address of what a link to a path downloads, by the path.
    """
    parser = MarkdownIt("commonmark", renderer_cls=_Renderer).enable("table")
    tokens = parser.parse(text)
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", slug(tokens[place + 1].content))
        elif token.type == "inline" and (image := _only_image(token)) is not None:
            parts = tokens[place - 1 : place + 2]
            figure = figures.get(str(image.attrs["src"]))
            parts[0].type, parts[0].content = "figure", figure(image.content) if figure else ""
            for part in parts[1:]:
                part.type, part.content = "figure", ""
        elif token.children:
            token.children = _linked(token.children, files)
    html: str = parser.renderer.render(tokens, parser.options, {"name": name})
    return html


def slug(heading: str) -> str:
    """A heading's place on the page, as a code host makes it: "Published values" becomes published-values."""
    return re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-"))


def _only_image(token: Token) -> Token | None:
    """The image that a paragraph consists of."""
    children = token.children or []
    return children[0] if len(children) == 1 and children[0].type == "image" else None


def _linked(tokens: Sequence[Token], files: Mapping[str, str]) -> list[Token]:
    """Links within the page stay, those to `files` become downloads, of others the text remains."""
    kept: list[Token] = []
    is_open = False
    for token in tokens:
        if token.type == "link_open":
            path = str(token.attrs["href"])
            is_open = path.startswith("#") or path in files
            if path in files:
                token.attrs |= {"href": files[path], "download": path.rpartition("/")[2]}
        if token.type not in ("link_open", "link_close") or is_open:
            kept.append(token)
    return kept
