// SPDX-License-Identifier: MIT

// A server of lines: `server inside ADDRESS` makes them itself, `server children ADDRESS` has them made
// by children of it, which are `server child`.
package main

import (
	"log"
	"net/http"
	"os"
)

const childCount = 2

func main() {
	var handler http.Handler
	switch os.Args[1] {
	case "child":
		serveParent(os.Stdin, os.Stdout)
		return
	case "children":
		handler = newFront(childCount)
	default:
		handler = http.HandlerFunc(answer)
	}
	log.Fatal(http.ListenAndServe(os.Args[2], handler))
}
