package servicebus_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	goamqp "github.com/Azure/go-amqp"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// clientWith makes a client with a connection string whose policy and key are
// replaced.
func (d *desk) clientWith(policy, key string) *azservicebus.Client {
	d.Helper()
	text := fmt.Sprintf("Endpoint=sb://localhost;SharedAccessKeyName=%s;SharedAccessKey=%s", policy, key)
	c, err := azservicebus.NewClientFromConnectionString(text, pipes(d.s))
	d.must(err)
	d.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// use sends with a client and receives, and returns both errors.
func (d *desk) use(c *azservicebus.Client) (sendErr, receiveErr error) {
	d.Helper()
	s, err := c.NewSender("events", nil)
	d.must(err)
	r, err := c.NewReceiverForQueue("events", nil)
	d.must(err)
	sendErr = s.SendMessage(d.ctx, &azservicebus.Message{}, nil)
	ctx, cancel := context.WithTimeout(d.ctx, 10*time.Second)
	defer cancel()
	_, receiveErr = r.ReceiveMessages(ctx, 1, nil)
	if errors.Is(receiveErr, context.DeadlineExceeded) {
		receiveErr = nil
	}
	_ = c.Close(d.ctx)
	return sendErr, receiveErr
}

func TestRights(t *testing.T) {
	o := queue(servicebus.Queue{})
	o.Keys = map[string]servicebus.Key{
		"all":    {Key: "k0", Rights: servicebus.All},
		"send":   {Key: "k1", Rights: servicebus.Send},
		"listen": {Key: "k2", Rights: servicebus.Listen},
		"manage": {Key: "k3", Rights: servicebus.Manage},
	}
	within(t, o, func(d *desk) {
		for _, c := range []struct {
			policy, key   string
			send, receive bool
		}{
			{"all", "k0", true, true},
			{"send", "k1", true, false},
			{"listen", "k2", false, true},
			{"manage", "k3", true, true},
			{"all", "wrong", false, false},
			{"nobody", "k0", false, false},
		} {
			sendErr, receiveErr := d.use(d.clientWith(c.policy, c.key))
			for what, x := range map[string]struct {
				err  error
				want bool
			}{"send": {sendErr, c.send}, "receive": {receiveErr, c.receive}} {
				if x.want {
					d.must(x.err)
				} else if x.err == nil {
					t.Errorf("%s with %s/%s: allowed", what, c.policy, c.key)
				} else {
					d.code(x.err, azservicebus.CodeUnauthorizedAccess)
				}
			}
		}
	})
}

func TestUnknownQueue(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		s, err := d.c.NewSender("nowhere", nil)
		d.must(err)
		d.code(s.SendMessage(d.ctx, &azservicebus.Message{}, nil), azservicebus.CodeNotFound)
		r, err := d.c.NewReceiverForQueue("nowhere", nil)
		d.must(err)
		_, err = r.ReceiveMessages(d.ctx, 1, nil)
		d.code(err, azservicebus.CodeNotFound)
	})
}

// entra hands out tokens that the server's Options.Token understands: the
// payload names the rights.
type entra struct{ rights, lifetime string }

func (e entra) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	lifetime, err := time.ParseDuration(e.lifetime)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	until := time.Now().Add(lifetime)
	claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, until.Unix()))
	return azcore.AccessToken{Token: e.rights + "." + claims + ".signature", ExpiresOn: until}, nil
}

func checkToken(jwt string) (servicebus.Rights, error) {
	switch name, _, _ := strings.Cut(jwt, "."); name {
	case "sender":
		return servicebus.Send, nil
	case "owner":
		return servicebus.All, nil
	}
	return 0, errors.New("unknown principal")
}

func (d *desk) entraClient(e entra) *azservicebus.Client {
	d.Helper()
	c, err := azservicebus.NewClient("contoso.servicebus.windows.net", e, pipes(d.s))
	d.must(err)
	d.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func TestEntraTokens(t *testing.T) {
	o := queue(servicebus.Queue{})
	o.Token = checkToken
	within(t, o, func(d *desk) {
		sendErr, receiveErr := d.use(d.entraClient(entra{"owner", "1h"}))
		d.must(sendErr)
		d.must(receiveErr)
		sendErr, receiveErr = d.use(d.entraClient(entra{"sender", "1h"}))
		d.must(sendErr)
		d.code(receiveErr, azservicebus.CodeUnauthorizedAccess)
		for _, bad := range []entra{{"stranger", "1h"}, {"owner", "-1s"}} {
			sendErr, _ = d.use(d.entraClient(bad))
			d.code(sendErr, azservicebus.CodeUnauthorizedAccess)
		}
		session, err := d.amqpConn(nil).NewSession(d.ctx, nil)
		d.must(err)
		for lifetime, want := range map[string]int32{"1h": 202, "-1s": 401} {
			token, err := entra{"owner", lifetime}.GetToken(d.ctx, policy.TokenRequestOptions{})
			d.must(err)
			a := d.call(session, "$cbs", map[string]any{"operation": "put-token", "type": "jwt", "name": "amqps://contoso/events"}, token.Token)
			if a.ApplicationProperties["status-code"] != want {
				t.Errorf("a token that lives %s: %v", lifetime, a.ApplicationProperties)
			}
		}
	})
	within(t, servicebus.Options{}, func(d *desk) {
		sendErr, _ := d.use(d.entraClient(entra{"owner", "1h"}))
		d.code(sendErr, azservicebus.CodeUnauthorizedAccess)
	})
}

// The SDK renews its token every few minutes, so links live for a day.
func TestTokensAreRenewed(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		s := d.sender()
		for range 24 {
			d.must(s.SendMessage(d.ctx, &azservicebus.Message{}, nil))
			time.Sleep(59 * time.Minute)
		}
		if st := d.s.Stats(); st.Connections != 1 || st.TokensPut < 50 {
			t.Errorf("%d connections, %d tokens", st.Connections, st.TokensPut)
		}
	})
}

// Without a renewal the link ends with the token.
func TestExpiredTokenEndsLinks(t *testing.T) {
	o := queue(servicebus.Queue{})
	within(t, o, func(d *desk) {
		conn := d.amqpConn(nil)
		session, err := conn.NewSession(d.ctx, nil)
		d.must(err)
		d.putToken(session, "amqp://localhost/events", sas(d.s, "amqp://localhost/events", time.Now().Add(time.Minute)))
		sender, err := session.NewSender(d.ctx, "events", nil)
		d.must(err)
		d.must(sender.Send(d.ctx, goamqp.NewMessage([]byte("x")), nil))
		time.Sleep(time.Minute + time.Second)
		d.condition(sender.Send(d.ctx, goamqp.NewMessage([]byte("x")), nil), "amqp:unauthorized-access")
		_, err = session.NewReceiver(d.ctx, "events", nil)
		d.condition(err, "amqp:unauthorized-access")
	})
}
