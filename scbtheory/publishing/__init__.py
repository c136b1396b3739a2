"""Execute the chapters, keep their stored outputs clean, and render the book.

Nothing here is half done when it fails. A chapter is executed into a temporary file and takes
its place only when every cell ran; a rendered book replaces the last one only when Sphinx had
no complaint. Whoever interrupts finds everything as it was.

The theory does not import this package; :mod:`scbtheory.publishing.extension` is the book's Sphinx extension.
"""
