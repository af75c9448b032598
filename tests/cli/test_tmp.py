import torch, numpy as np, hashlib
def test_x(made):
    from actalker.pipeline import TalkingHeadPipeline
    h=lambda a: hashlib.md5(np.ascontiguousarray(a).tobytes()).hexdigest()[:8]
    d=made
    for i in range(6):
        p=TalkingHeadPipeline.from_pretrained(d/"model")
        r=p.prepare(d/"face.png",audio=d/"speech.wav",duration=.4)
        c=r.inputs.conditions(0,6)
        x=torch.randn(1,6,192,8,8,generator=torch.Generator().manual_seed(0)); s=torch.tensor([3.])
        rec=[]
        hooks=[m.register_forward_hook(lambda m,i,o,n=n: rec.append((n,(o[0] if isinstance(o,tuple) else getattr(o,'sample',o)).detach().clone()))) for n,m in p.model.network.named_modules() if n]
        with torch.no_grad(): p.model.denoise(x,s,c)
        for k in hooks: k.remove()
        if i==0: base=rec
        for (n,a),(_,b) in zip(base,rec):
            if not torch.equal(a,b): print("DIFF", i,n,(a-b).abs().max().item(), a.abs().max().item()); break
        f=np.stack(list(p.stream(r)))
        if i==0: f0=f
        print(h(r.inputs.portrait.picture), h(r.inputs.mono), r.inputs.level, h(c.tokens["audio"].detach().numpy()), h(c.identity.numpy()), h(c.reference.numpy()),h(f), abs(f.astype(int)-f0).max(), (f!=f0).sum())
