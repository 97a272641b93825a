"""What people take away: statistics, accuracy, advice, the report, exports, verify."""
