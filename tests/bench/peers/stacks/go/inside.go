// SPDX-License-Identifier: MIT

// Lines made where they are sent from.
package main

import (
	"io"
	"net/http"
)

func answer(response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	work, err := newWork(request.URL.Path, body)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	response.Header().Set("Content-Type", "application/x-ndjson")
	flusher := response.(http.Flusher)
	work.emit(func(block []byte, then next) bool {
		_, err := response.Write(block)
		if then == waiting {
			flusher.Flush()
		}
		return err == nil
	})
}
