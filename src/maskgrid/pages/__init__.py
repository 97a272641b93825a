"""Build HTML and SVG as text; also holds the CSS and JavaScript of the pages."""
