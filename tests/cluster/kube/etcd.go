package main

import (
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

// etcdCommand runs an etcd of one member. It does not fsync: a test cluster's data need not outlive the machine.
func etcdCommand() *cobra.Command {
	var dir, client, peer string
	command := &cobra.Command{
		Use: "etcd",
		RunE: func(*cobra.Command, []string) error {
			clientURL, err := url.Parse(client)
			if err != nil {
				return err
			}
			peerURL, err := url.Parse(peer)
			if err != nil {
				return err
			}
			config := embed.NewConfig()
			config.Dir = dir
			config.LogLevel = "warn"
			config.UnsafeNoFsync = true
			config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*clientURL}, []url.URL{*clientURL}
			config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peerURL}, []url.URL{*peerURL}
			config.InitialCluster = config.InitialClusterFromName(config.Name)
			etcd, err := embed.StartEtcd(config)
			if err != nil {
				return err
			}
			defer etcd.Close()
			stop := make(chan os.Signal, 1)
			signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
			select {
			case <-stop:
				return nil
			case err := <-etcd.Err():
				return err
			}
		},
	}
	command.Flags().StringVar(&dir, "data-dir", "default.etcd", "where the data goes")
	command.Flags().StringVar(&client, "listen-client-url", "http://127.0.0.1:2379", "the client URL")
	command.Flags().StringVar(&peer, "listen-peer-url", "http://127.0.0.1:2380", "the peer URL")
	return command
}
