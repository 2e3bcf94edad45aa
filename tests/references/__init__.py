"""Files that other frameworks wrote, with what their own networks answered, and the scripts that made them.

    python -m tests.references              # all of them again, each in an environment of its own below build/
    python -m tests.references rsl_rl_2

The files are small and committed; `make test` reads them and needs none of the frameworks.
"""
