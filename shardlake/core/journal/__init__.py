"""The record of what was committed: lanes of entries, and the operations that extend them."""
