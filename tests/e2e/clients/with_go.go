// Go's net/http, which speaks HTTP/2 where the server offers it. Option of the plan: http1.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

type item struct {
	Id, Method, Path string
	Body             json.RawMessage
}

type plan struct {
	Port, Family int
	Ca, Key      string
	Wait         bool
	Lanes        [][]item
	Options      struct{ Http1 bool }
}

var output sync.Mutex

func tell(event, id string, fields map[string]any) {
	fields["event"], fields["id"], fields["t"] = event, id, float64(time.Now().UnixMicro())/1e6
	line, _ := json.Marshal(fields)
	output.Lock()
	defer output.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func client(p *plan) *http.Client {
	pem, err := os.ReadFile(p.Ca)
	must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	address := fmt.Sprintf("127.0.0.1:%d", p.Port)
	if p.Family == 6 {
		address = fmt.Sprintf("[::1]:%d", p.Port)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2: !p.Options.Http1,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	if p.Options.Http1 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return &http.Client{Transport: transport}
}

// The usage of a JSON answer, or of the last event of a stream that has one.
func usageOf(answer []byte) any {
	var last any
	for _, line := range append([][]byte{answer}, bytes.Split(answer, []byte("\n"))...) {
		var parsed struct{ Usage any }
		line = bytes.TrimPrefix(line, []byte("data: "))
		if json.Unmarshal(line, &parsed) == nil && parsed.Usage != nil {
			last = parsed.Usage
		}
	}
	return last
}

func run(c *http.Client, p *plan, it item) {
	var begin time.Time
	ms := func() float64 { return float64(time.Since(begin).Microseconds()) / 1e3 }
	body := []byte(it.Body)
	if string(body) == "null" {
		body = nil
	}
	url := fmt.Sprintf("https://api.openai.com:%d%s", p.Port, it.Path)
	request, err := http.NewRequest(it.Method, url, bytes.NewReader(body))
	must(err)
	request.Header.Set("Authorization", "Bearer "+p.Key)
	request.Header.Set("X-Test-Id", it.Id)
	request.Header.Set("Content-Type", "application/json")
	tell("sending", it.Id, map[string]any{"sha256": fmt.Sprintf("%x", sha256.Sum256(body)), "bytes": len(body)})
	begin = time.Now()
	answer, err := c.Do(request)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(answer.Body)
		answer.Body.Close()
	}
	if err != nil {
		tell("error", it.Id, map[string]any{"ms": ms(), "name": fmt.Sprintf("%T", err), "message": err.Error()})
		return
	}
	tell("done", it.Id, map[string]any{"ms": ms(), "status": answer.StatusCode, "usage": usageOf(text)})
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	must(err)
	p := &plan{}
	must(json.Unmarshal(text, p))
	c := client(p)
	if p.Wait {
		fmt.Println(`{"event": "ready"}`)
		bufio.NewReader(os.Stdin).ReadString('\n')
	}
	var lanes sync.WaitGroup
	for _, lane := range p.Lanes {
		lanes.Add(1)
		go func(items []item) {
			defer lanes.Done()
			for _, it := range items {
				run(c, p, it)
			}
		}(lane)
	}
	lanes.Wait()
}
