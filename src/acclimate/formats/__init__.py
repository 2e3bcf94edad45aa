"""The forms in which agents lie on disk or live in other libraries: read and written."""
