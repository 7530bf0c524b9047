"""Shadow, held against what people did: would it have contained it, wrongly, and how much sooner?"""
