package policy

func (c *checker) gitHubIssue(path string, t *GitHubIssueTarget) {
	c.token(path, &t.Token)
}

func (c *checker) workItem(path string, t *WorkItemTarget) {
	c.token(path, &t.Token)
}

func (c *checker) jira(path string, t *JiraTarget) {
	c.token(path, &t.Token)
}

func (c *checker) serviceNow(path string, t *ServiceNowTarget) {
	c.token(path, &t.Token)
}
