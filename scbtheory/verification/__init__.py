"""How a statement is verified: claims, routes and controls, what statements are evaluated on, and the reports.

Nothing here knows a particular claim; those are the files of :mod:`scbtheory.claims`.
"""
