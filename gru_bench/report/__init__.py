"""Reports: logged runs become one `Report` of numbers, rendered as HTML, LaTeX and Markdown."""
