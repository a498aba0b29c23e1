module github.com/modelwarden/modelwarden

go 1.26
