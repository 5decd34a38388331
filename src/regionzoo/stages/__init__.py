"""One module a job of the DAG: settings and paths in, whole files out."""
