// pack writes an image of a few files as an OCI archive, without a container engine. Whoever reads archives can take
// it: containerd, kind, Docker, Podman, skopeo, crane. The bytes depend on the files and the flags alone.
package main

import (
	"flag"
	"fmt"
	"log"
	"strings"
)

// pairs is a flag that can be given several times, as KEY=VALUE.
type pairs [][2]string

func (p *pairs) String() string { return fmt.Sprint(*p) }

func (p *pairs) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" || value == "" {
		return fmt.Errorf("%q is not of the form A=B", text)
	}
	*p = append(*p, [2]string{key, value})
	return nil
}

func main() {
	var files, labels pairs
	out := flag.String("out", "", "the archive to write")
	entrypoint := flag.String("entrypoint", "", "the program that the image runs, as a path in the image")
	user := flag.String("user", "65532:65532", "the user and group that it runs as")
	flag.Var(&files, "file", "SOURCE=PATH: a file, and where it is in the image; the libraries of programs come along")
	flag.Var(&labels, "label", "KEY=VALUE of the image")
	flag.Parse()
	log.SetFlags(0)
	if *out == "" || *entrypoint == "" || len(files) == 0 || flag.NArg() == 0 {
		log.Fatal("usage: pack -out FILE -entrypoint PATH -file SOURCE=PATH… [-user UID:GID] [-label KEY=VALUE…] NAME…")
	}
	contents, err := gather(files)
	if err != nil {
		log.Fatal("pack: ", err)
	}
	image, err := assemble(contents, *entrypoint, *user, labels)
	if err != nil {
		log.Fatal("pack: ", err)
	}
	if err := writeArchive(*out, image, flag.Args()); err != nil {
		log.Fatal("pack: ", err)
	}
	digest, err := image.Digest()
	if err != nil {
		log.Fatal("pack: ", err)
	}
	fmt.Println(digest, *out, strings.Join(flag.Args(), " "))
}
