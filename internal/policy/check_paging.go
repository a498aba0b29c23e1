package policy

func (c *checker) alertmanager(path string, t *AlertmanagerTarget) {
	c.optionalToken(path, &t.Token)
}

func (c *checker) pagerDuty(path string, t *PagerDutyTarget) {
	c.token(path, &t.Token)
}
