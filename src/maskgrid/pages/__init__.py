"""HTML and SVG as text, with the css and js of the pages."""
