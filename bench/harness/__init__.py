"""What the benches share: options, data sets, measures, a real service to measure, and the report.

Importable from the files in bench/ because Python puts a script's own folder on its path.
"""
