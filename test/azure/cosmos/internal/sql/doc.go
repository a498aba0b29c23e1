// Package sql is the part of the query language of Azure Cosmos DB for NoSQL
// that the server understands: [Parse] a text, then filter, sort and project
// items with the [Query].
//
// The grammar, keywords in any case:
//
//	query    = SELECT [TOP n] list FROM name [[AS] name] [WHERE expr]
//	           [ORDER BY path [ASC|DESC] {, path [ASC|DESC]}] [OFFSET n LIMIT n]
//	list     = "*" | VALUE expr | expr [[AS] name] {, expr [[AS] name]}
//	expr     = and {OR and}
//	and      = not {AND not}
//	not      = NOT not | compared
//	compared = primary [("="|"!="|"<>"|"<"|"<="|">"|">=") primary
//	           | [NOT] IN "(" expr {, expr} ")" | [NOT] BETWEEN primary AND primary]
//	primary  = literal | @name | path | function "(" expr {, expr} ")" | "(" expr ")"
//	path     = name {"." name | "[" string or number "]"}
//
// n is a number or a parameter. Everything else (JOIN, subqueries, DISTINCT,
// GROUP BY, aggregates, LIKE, arithmetic, array and object literals) is
// refused with an error that names it.
//
// Semantics are those of Microsoft's reference: a property that is absent is
// undefined, comparing values of different types gives undefined, AND, OR and
// NOT are three-valued, and an item is kept when its filter is true. Strings
// are ordered by Unicode code point.
package sql
