"""Arrays out of files that other programs pickled, without running what such a file may ask for."""
