"""Archives: export of a study to one file, and import of that file into other stores."""
