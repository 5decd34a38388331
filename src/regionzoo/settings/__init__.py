"""What each job of the DAG is told: one frozen model a stage, carried as canonical JSON.

A stage imports its own settings module alone, so that a change to one stage's settings is no change to another's code.
"""
