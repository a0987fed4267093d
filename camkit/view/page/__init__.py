"""The report as one HTML file: figures, curves and pictures of several methods; needs neither network nor server."""

from camkit.view.page.content import Card, Method
from camkit.view.page.write import write_page

__all__ = ["Card", "Method", "write_page"]
