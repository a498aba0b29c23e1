package servicebus

import "net/http"

// Admin is the management API.
func (s *Server) Admin() http.Handler { return http.NotFoundHandler() }
