package policy

func (c *checker) slack(path string, t *SlackTarget) {
	c.token(path, &t.Token)
}

func (c *checker) teams(path string, t *TeamsTarget) {
	c.token(path, &t.Token)
}

func (c *checker) email(path string, t *EmailTarget) {
	c.optionalToken(path, &t.Token)
}
