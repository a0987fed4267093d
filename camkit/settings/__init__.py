"""What methods and trainings may be told: every number with its name, default, bounds and meaning, and the presets.

A command's options, its Python function and the provenance all derive from these classes. Nothing heavy is imported.
"""
