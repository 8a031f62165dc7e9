"""Answers as plots on a terminal: what is drawn, lines, bars, and the axes beside them."""
