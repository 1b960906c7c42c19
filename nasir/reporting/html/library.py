"""Vega, Vega-Lite and Vega-Embed as one script, from the package vl-convert-python."""

HINT = "vl-convert-python is not installed (pip install '.[pipeline]')"
"""Why a page has pictures in place of charts."""


def script() -> str | None:
    """The library, which defines `vegaEmbed`; None where the package is not installed.

    Bundling takes two seconds of processor time, once in a process.
    """
    try:
        import vl_convert
    except ImportError:
        return None
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle
