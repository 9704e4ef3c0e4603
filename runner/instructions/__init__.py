"""What the agent is told before anybody has said anything: rules, memory, skills, addresses."""
