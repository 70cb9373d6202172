"""The decision table: the criteria on numbers, the order of the rows, and the words."""
