"""Shadow: what would have been done about a finding, judged with real reads and without a change."""
