"""When and who: flows that run the steps, and everything that starts, approves, records and shows them."""
